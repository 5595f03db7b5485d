import { readFileSync } from 'node:fs';

const words = (text = ''): string[] => text.split(/\s+/).filter((word) => word !== '');

/** The rules that docs/OPERATIONS.md gives for an ACL user, and those that it adds for a cluster. */
export function documentedAcl(): { readonly rules: string[]; readonly inCluster: string[] } {
  const text = readFileSync(new URL('../../../docs/OPERATIONS.md', import.meta.url), 'utf8');
  const [, rules] = /ACL SETUSER suture on >PASSWORD ([^`]*)```/.exec(text) ?? [];
  const [, inCluster] = /and in a cluster `([^`]*)` besides/.exec(text) ?? [];
  return { rules: words(rules), inCluster: words(inCluster) };
}
