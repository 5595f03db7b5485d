/** Runs a program in the foreground as if it were this process: its exit code, and signals passed on. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/** Ctrl-C reaches a whole terminal's foreground group by itself; passed on as well it would count twice. */
const PASSED_ON = process.stdin.isTTY ? ['SIGTERM', 'SIGHUP'] : ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** The signal that asked this process to stop, once there was one: start nothing more then. */
export let stopSignal;

/**
 * Resolves to the exit code (128 + number for a signal). `onOutput` receives standard output in pieces
 * instead of it being inherited.
 */
export function passOn(command, args, { cwd, env, onOutput } = {}) {
  return new Promise((resolve, reject) => {
    const stdio = ['inherit', onOutput ? 'pipe' : 'inherit', 'inherit'];
    const child = spawn(command, args, { cwd, env, stdio });
    const forward = (signal) => {
      stopSignal = signal;
      child.kill(signal);
    };
    const stay = (signal) => {
      stopSignal = signal;
    };
    for (const signal of PASSED_ON) process.on(signal, forward);
    process.on('SIGINT', stay);
    if (onOutput) child.stdout.setEncoding('utf8').on('data', onOutput);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      for (const name of PASSED_ON) process.off(name, forward);
      process.off('SIGINT', stay);
      resolve(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}
