/**
 * Reads the TAP that node-tap writes and turns it into a report for people: one line a file, what failed
 * with its diagnosis, what was skipped with its reason, comments, and sums.
 *
 * A test is a `t.test` that holds no other one, or an assertion that stands in a file by itself. Whatever
 * fails without a failed test inside (a crash, a time-out, a bad plan) counts as one failed test, and so does a file
 * that has none: it may have ended before it came to them.
 */

const INDENT = 4;
const SUBTEST = /^( *)# Subtest: (.*)$/;
const RESULT =
  /^( *)(not ok|ok) (\d+)(?: - (.*?))?(?: # (SKIP|TODO)(?: (.*?))?)?(?: # time=([\d.]+)(m?s))?(?: \{)?$/;
const COMMENT = /^ {4,}# (?!Subtest|time=|\{)(.+)$/;

/** What tap says of a file without any test. */
const NO_TESTS = 'no tests found';

/** A file or a `t.test` whose result is still to come. */
function opened(depth, name) {
  return { depth, name, passed: 0, failed: 0, skipped: 0, holdsTests: false };
}

export class TapReport {
  passed = 0;
  failed = 0;
  skipped = [];
  failures = [];
  #write;
  #rest = '';
  #open = [];
  #lines = [];

  constructor(write) {
    this.#write = write;
  }

  push(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
  }

  /** The end of one run of tap; what is still open then was cut off. */
  end() {
    if (this.#rest !== '') this.#line(this.#rest);
    this.#rest = '';
    this.#cutOff(0);
  }

  /** `N passed, N failed`. */
  get sums() {
    return `${this.passed} passed, ${this.failed} failed`;
  }

  #line(line) {
    this.#lines.push(line);
    const subtest = SUBTEST.exec(line);
    if (subtest) {
      const depth = subtest[1].length / INDENT;
      this.#cutOff(depth);
      const parent = this.#open.at(-1);
      if (parent) parent.holdsTests = true;
      this.#open.push(opened(depth, subtest[2]));
      return;
    }
    const result = RESULT.exec(line);
    if (result) return this.#result(result);
    const comment = COMMENT.exec(line);
    if (comment) this.#write(`    ${comment[1]}\n`);
  }

  #result([, indent, verdict, , name = '', directive, reason = '', time, unit]) {
    const depth = indent.length / INDENT;
    const ok = verdict === 'ok';
    if (this.#open.at(-1)?.depth === depth) {
      const own = this.#open.pop();
      if (depth === 0) {
        // tap takes a file that ended before its first test for one that is left out.
        const isEmpty = reason === NO_TESTS;
        if (directive !== undefined && !isEmpty) this.#skipFile(own, reason);
        return this.#fileEnd(own, ok && !isEmpty, time && Number(time) / (unit === 'ms' ? 1000 : 1));
      }
      const counts = own.holdsTests ? own : opened(depth, own.name);
      if (!own.holdsTests && ok) counts.passed = 1;
      if (!ok && counts.failed === 0) this.#fail(counts);
      return this.#add(counts);
    }
    if (directive !== undefined) return this.#skip(name, reason || directive.toLowerCase());
    // Assertions count only where there is no test around them but the file.
    if (depth !== 1) return;
    const alone = opened(depth, name);
    if (ok) alone.passed = 1;
    else this.#fail(alone);
    this.#add(alone);
  }

  /** Tests at this depth or deeper that never got a result have failed. */
  #cutOff(depth) {
    while ((this.#open.at(-1)?.depth ?? -1) >= depth) {
      const own = this.#open.pop();
      if (own.depth === 0) {
        this.#fileEnd(own, false);
      } else {
        if (own.failed === 0) this.#fail(own);
        this.#add(own);
      }
    }
  }

  #fail(counts) {
    counts.failed += 1;
    const path = [...this.#open.map((one) => one.name), counts.name];
    this.failures.push(path.join(' › '));
  }

  #add({ passed, failed, skipped }) {
    const around = this.#open.at(-1);
    if (!around) return;
    around.passed += passed;
    around.failed += failed;
    around.skipped += skipped;
  }

  #skip(name, reason) {
    const path = [...this.#open.map((one) => one.name), name];
    this.skipped.push(`${path.join(' › ')}: ${reason}`);
    const around = this.#open.at(-1);
    if (!around) return;
    around.skipped += 1;
    around.holdsTests = true;
  }

  #skipFile(file, reason) {
    this.skipped.push(`${file.name}: ${reason}`);
    file.skipped += 1;
  }

  #fileEnd(file, ok, seconds) {
    if (!ok && file.failed === 0) this.#fail(file);
    this.passed += file.passed;
    this.failed += file.failed;
    if (!ok) this.#write(`${this.#lines.filter((line) => !/^\s*(ok |$)/.test(line)).join('\n')}\n`);
    this.#lines = [];
    const skipped = file.skipped ? `, ${file.skipped} skipped` : '';
    const took = seconds ? ` (${seconds.toFixed(1)} s)` : '';
    this.#write(
      `${ok ? 'ok  ' : 'FAIL'} ${file.name}: ${file.passed} passed, ${file.failed} failed${skipped}${took}\n`,
    );
  }
}
