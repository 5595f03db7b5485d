/**
 * Mends the `cap` addon (0.2.1): libuv reports an error when a captured interface goes down, and the addon takes
 * that for impossible and aborts the whole process. Mended, it reads the error and goes on watching, so packets come
 * again once the interface is up.
 *
 * The build folder, which every `npm ci` makes anew, has a stamp when it was made of the mended source.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const BEFORE = `      assert(status == 0);
      Pcap *obj = (Pcap*)handle->data;
      int packet_count;

      if (obj->closing)
        return obj->cleanup();
`;

/** The error of the descriptor is taken by asking for it. Without one, watching again could spin. */
const AFTER = `      Pcap *obj = (Pcap*)handle->data;
      int packet_count;

      if (obj->closing)
        return obj->cleanup();

      if (status != 0) {
        int error = 0;
        socklen_t length = sizeof(error);
        getsockopt(obj->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0)
          uv_poll_start(handle, UV_READABLE, cb_packets);
        return;
      }
`;
const INCLUDE = '# include <sys/ioctl.h>\n';

/** True when there is nothing to do. */
export function capIsPatched(root) {
  return existsSync(stampOf(root));
}

/** `rebuild` compiles the addon, or throws. Gives what is wrong, or undefined. */
export function patchCap(root, rebuild) {
  const source = join(root, 'node_modules/cap/src/binding.cc');
  const text = readFileSync(source, 'utf8');
  if (!text.includes(AFTER)) {
    if (!text.includes(BEFORE) || !text.includes(INCLUDE)) {
      return `${source} is not the version that scripts/patch-cap.mjs knows`;
    }
    const patched = text
      .replace(BEFORE, () => AFTER)
      .replace(INCLUDE, () => `${INCLUDE}# include <sys/socket.h>\n`);
    writeFileSync(`${source}.new`, patched);
    renameSync(`${source}.new`, source);
  }
  rebuild();
  writeFileSync(stampOf(root), '');
  return undefined;
}

function stampOf(root) {
  return join(root, 'node_modules/cap/build/.patched');
}
