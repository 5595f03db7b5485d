/** The faults themselves, each with its mending. */
import type { Clock } from '../../../src/platform/clock.js';
import type { Field } from './field.js';
import type { Injection } from './plan.js';

/** Resolves when the part is there again; that the others know of it is another matter. */
export async function inject(
  field: Field,
  { part, fault }: Injection,
  clock: Clock,
  pauseMs: number,
): Promise<void> {
  if (fault === 'stop') {
    const program = field.program(part);
    program.kill('SIGSTOP');
    await clock.sleep(pauseMs);
    program.kill('SIGCONT');
  } else if (fault === 'cut') {
    await field.cut(part);
    await clock.sleep(pauseMs);
    await field.mend(part);
  } else if (fault === 'link') {
    await field.linkDown(part);
    await clock.sleep(pauseMs);
    await field.linkUp(part);
  } else {
    await field.kill(part);
    if (fault === 'empty') {
      await field.forget(part);
      await clock.sleep(pauseMs);
    }
    await field.start(part);
  }
}
