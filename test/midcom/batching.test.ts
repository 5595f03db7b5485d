/** Messages of a stream go on before the one before is written, in their order, and not without a limit. */
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';
import t from 'tap';
import { batching } from '../../src/midcom/batching.js';

/** Takes messages as the socket's end of a call, and says that they are written when it is told to. */
function startCall() {
  const sent: number[] = [];
  const unwritten: (() => void)[] = [];
  const below = {
    sendMetadata: () => {},
    sendMessage: (message: number, written: () => void) => {
      sent.push(message);
      unwritten.push(written);
    },
  } as unknown as ServerInterceptingCallInterface;
  const call = batching({} as never, below);
  let given = 0;
  // A stream gives one message at a time.
  const give = (): void => call.sendMessage(given++, give);
  return { sent, give, write: () => unwritten.shift()?.() };
}

t.test('messages do not wait for the socket, up to a limit', async (t) => {
  const { sent, give, write } = startCall();
  give();
  const limit = sent.length;
  t.ok(limit > 1, 'several are on their way');
  t.ok(limit <= 64, 'not all that there are');
  write();
  t.equal(sent.length, limit + 1, 'one is written, the next one goes on its way');
  write();
  write();
  t.equal(sent.length, limit + 3);
  t.same(
    sent,
    sent.map((_, i) => i),
    'in their order',
  );
});
