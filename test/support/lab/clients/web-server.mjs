/**
 * HTTP or HTTPS servers that say who they are. Arguments: ports (one server each), names (one for each), host, or hosts
 * (one for each), and for HTTPS key and cert (files). `/who` answers the server's name, `/download?bytes=N&seed=S` the
 * workload's stream.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { args, generate, report, writeAll } from './common.mjs';

async function answer(name, request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://x');
  if (pathname === '/who') return response.end(name);
  const hash = createHash('sha256');
  await writeAll(
    response,
    generate(Number(searchParams.get('bytes')), Number(searchParams.get('seed')), hash),
  );
  response.end();
}

const tls = args.key ? { key: readFileSync(args.key), cert: readFileSync(args.cert) } : undefined;
for (const [i, port] of args.ports.entries()) {
  const handle = (request, response) => void answer(args.names[i], request, response);
  const server = tls ? createHttps(tls, handle) : createHttp(handle);
  await new Promise((resolve) => server.listen(port, args.hosts?.[i] ?? args.host, resolve));
}
report({ listening: args.ports });
process.once('SIGTERM', () => process.exit(0));
