/** What two engines were given last, and what to say when they differ. */
const REMEMBERED_STEPS = 12;

export class Difference extends Error {
  override name = 'Difference';
}

export class Steps {
  private readonly steps: (() => string)[] = [];

  note(step: () => string): void {
    this.steps.push(step);
    if (this.steps.length > REMEMBERED_STEPS) this.steps.shift();
  }

  fail(differ: readonly string[]): never {
    const steps = this.steps.map((step) => `  ${step()}`).join('\n');
    throw new Difference(`${differ.join('\n')}\nafter\n${steps}`);
  }
}
