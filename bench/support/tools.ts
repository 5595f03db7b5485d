/** The programs that a benchmark needs: whether they are here, and if not, how to get them. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { SutureError } from '#suture/platform/errors.js';

export type Tool = 'iperf3' | 'haproxy' | 'nginx' | 'gcc' | 'ethtool' | 'redis-server';

const PACKAGES: Readonly<Record<Tool, string>> = {
  iperf3: 'iperf3',
  haproxy: 'haproxy',
  nginx: 'nginx-light libnginx-mod-stream',
  gcc: 'g++',
  ethtool: 'ethtool',
  'redis-server': 'redis-server',
};

/** Debian's; elsewhere the module may be built in. */
export const NGINX_STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so';

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function present(tool: Tool, path: string): boolean {
  return path.split(delimiter).some((folder) => executable(join(folder, tool)));
}

/** Those that are not on the path. */
export function missingTools(tools: readonly Tool[], path = process.env.PATH ?? ''): Tool[] {
  return tools.filter((tool) => !present(tool, path));
}

/** Throws what ends the command with exit code 3 when something is missing. */
export function requireTools(bench: string, tools: readonly Tool[], path?: string): void {
  const missing = missingTools(tools, path);
  if (missing.length === 0) return;
  const packages = missing.map((tool) => PACKAGES[tool]).join(' ');
  throw new SutureError(
    'SUT_NOT_AVAILABLE',
    `bench ${bench} needs ${missing.join(', ')}, not found on PATH; ` +
      `run 'npm run setup -- --bench', or install the Debian packages: apt-get install ${packages}`,
  );
}
