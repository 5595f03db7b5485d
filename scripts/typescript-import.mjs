/** `node --import` of this file runs TypeScript: see typescript-hooks.mjs, which stays in a thread of its own. */
import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);
