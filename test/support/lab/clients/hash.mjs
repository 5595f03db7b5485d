/** The SHA-256 of the workload's stream. Arguments: bytes, seed. */
import { args, expectedHash, report } from './common.mjs';

report({ sha256: expectedHash(args.bytes, args.seed) });
