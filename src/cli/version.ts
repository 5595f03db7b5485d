/** The package's version. */
import { readFileSync } from 'node:fs';

/** From the package's own file, two levels above both src/cli and dist/cli. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return version;
}
