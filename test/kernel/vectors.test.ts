/**
 * Named cases for the kernel's program beside the flow engine. What comes out is compared by the twin, byte for byte; a
 * case says in addition where it has to lead, so that none passes by never reaching its subject.
 */
import { ENDINGS_CASES } from './cases/endings.js';
import { HANDOVER_CASES } from './cases/handover.js';
import { HANDSHAKE_CASES } from './cases/handshake.js';
import { HEADERS_CASES } from './cases/headers.js';
import { TEARDOWN_CASES } from './cases/teardown.js';
import { type Family, TwinDriver, withKernel, withTwin } from './support/driver.js';

const CASES = [...HANDSHAKE_CASES, ...HANDOVER_CASES, ...ENDINGS_CASES, ...TEARDOWN_CASES, ...HEADERS_CASES];

withKernel('named cases', (t, kernel) => {
  for (const { name, options, families = [4, 6], forgetAfter = 0, run, state, sent = 0 } of CASES) {
    for (const family of families as readonly Family[]) {
      t.test(`${name}, IPv${family}`, (t) => {
        withTwin(
          kernel,
          (twin) => {
            const driver = new TwinDriver(twin, options, family);
            run(driver);
            t.equal(driver.state, state);
            t.ok(twin.compared >= sent, `${twin.compared} packets compared, ${sent} at the least`);
          },
          { forgetAfter },
        );
        t.end();
      });
    }
  }
});
