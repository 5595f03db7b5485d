/**
 * The simulated shell: the relay between its two connections, with a bounded buffer, a scheduler that is
 * not always prompt, prefixes consumed and injected, ends and resets passed on. It asks for the stitch and
 * destroys its sockets when it is told that the flow is stitched.
 */
import type { StitchOffsets } from '../../../src/flow/endpoints.js';
import type { EventQueue, Wakeable } from './events.js';
import type { Random } from './random.js';
import type { TcpEnd } from './tcp.js';

export interface ShellScript {
  readonly offsets: StitchOffsets;
  readonly buffer: number;
  /** Largest delay between something to do and doing it. */
  readonly laziness: number;
  /** When it asks for the stitch: so long after both handshakes, and after so many relayed bytes. */
  readonly stitch: boolean;
  readonly stitchDelay: number;
  readonly stitchBytes: number;
  /** One way of the control channel. */
  readonly controlDelay: number;
  readonly death: 'none' | 'reset' | 'exit' | 'vanish';
  /** Milliseconds from the cut to the death. */
  readonly deathDelay: number;
}

/** What the shell asks of the world around it. */
export interface ShellWorld {
  pair(): void;
  enable(offsets: StitchOffsets): void;
  release(): void;
  /** Its host loses power: nothing leaves or reaches it any more. */
  vanish(): void;
}

const Code = { Pump: 0, Pair: 1, Connect: 2, Enable: 3, Destroy: 4, PassReset: 5, Die: 6 } as const;

class Relay {
  buffered = 0;
  copied = 0;
  constructor(
    readonly source: TcpEnd,
    readonly sink: TcpEnd,
    public toConsume: number,
    public toInject: number,
  ) {}

  get transparent(): boolean {
    return this.toConsume === 0 && this.toInject === 0;
  }

  pump(buffer: number): void {
    const { source, sink } = this;
    const consumed = Math.min(this.toConsume, source.readable);
    if (consumed > 0) {
      this.toConsume -= consumed;
      source.read(consumed);
    }
    const injected = Math.min(this.toInject, sink.writable);
    if (injected > 0) {
      this.toInject -= injected;
      sink.write(injected);
    }
    if (!this.transparent) return;
    const taken = Math.min(source.readable, buffer - this.buffered);
    if (taken > 0) {
      this.buffered += taken;
      source.read(taken);
    }
    const written = Math.min(this.buffered, sink.writable);
    if (written > 0) {
      this.buffered -= written;
      this.copied += written;
      sink.write(written);
    }
    if (source.ended && this.buffered === 0) sink.shutdown();
  }
}

export class Shell implements Wakeable {
  dead = false;
  destroyed = false;
  readonly up: Relay;
  readonly down: Relay;
  #pumping = false;
  #asked = false;
  #askAt = Number.POSITIVE_INFINITY;

  constructor(
    readonly script: ShellScript,
    readonly outer: TcpEnd,
    readonly inner: TcpEnd,
    readonly control: ShellWorld,
    readonly events: EventQueue,
    readonly random: Random,
  ) {
    const { offsets } = script;
    this.up = new Relay(outer, inner, offsets.consumedFromPeer, offsets.injectedToCore);
    this.down = new Relay(inner, outer, offsets.consumedFromCore, offsets.injectedToPeer);
    const progress = (): void => this.#wakeSoon(Code.Pump);
    const reset = (): void => this.#later(Code.PassReset, this.random.next() * script.laziness);
    outer.owner = {
      onEstablished: () => this.#later(Code.Pair, script.controlDelay),
      onProgress: progress,
      onReset: reset,
    };
    inner.owner = { onEstablished: () => this.#onInner(), onProgress: progress, onReset: reset };
  }

  /** The switch says that the flow is stitched, or over after a cut. */
  onStitched(): void {
    this.#later(Code.Destroy, this.script.controlDelay);
  }

  onCut(): void {
    if (this.script.death !== 'none') this.#later(Code.Die, this.script.deathDelay);
  }

  #onInner(): void {
    this.#askAt = this.events.now + this.script.stitchDelay;
    this.#wakeSoon(Code.Pump);
    if (this.script.stitch) this.events.schedule(this.#askAt, this, Code.Pump);
  }

  #later(code: number, delay: number): void {
    this.events.schedule(this.events.now + delay, this, code);
  }

  #wakeSoon(code: number): void {
    if (this.#pumping || this.dead || this.destroyed) return;
    this.#pumping = true;
    this.#later(code, this.random.next() * this.script.laziness);
  }

  wake(code: number): void {
    if (this.dead || this.destroyed) return;
    switch (code) {
      case Code.Pump:
        this.#pumping = false;
        this.#pump();
        break;
      case Code.Pair:
        if (this.outer.state !== 'established') return;
        this.control.pair();
        this.#later(Code.Connect, this.script.controlDelay);
        break;
      case Code.Connect:
        if (this.outer.state === 'established') this.inner.connect();
        else this.control.release();
        break;
      case Code.Enable:
        this.control.enable(this.script.offsets);
        break;
      case Code.Destroy:
        this.destroyed = true;
        this.outer.abort();
        this.inner.abort();
        break;
      case Code.PassReset:
        if (this.inner.state === 'closed') return;
        if (this.inner.state === 'syn-sent') this.control.release();
        if (!this.outer.over) this.outer.abort();
        if (!this.inner.over) this.inner.abort();
        break;
      default:
        this.#die();
    }
  }

  #pump(): void {
    const { script, up, down, inner, outer } = this;
    if (inner.state === 'closed' || inner.state === 'syn-sent') return;
    if (outer.state === 'reset' || inner.state === 'reset') return;
    up.pump(script.buffer);
    down.pump(script.buffer);
    if (!script.stitch || this.#asked || !up.transparent || !down.transparent) return;
    if (this.events.now < this.#askAt || up.copied + down.copied < script.stitchBytes) return;
    this.#asked = true;
    this.#later(Code.Enable, script.controlDelay);
  }

  /** Its process ends: what it held in user space is lost, and the kernel closes both sockets. */
  #die(): void {
    this.dead = true;
    if (this.script.death === 'vanish') {
      this.control.vanish();
      return;
    }
    for (const end of [this.outer, this.inner]) {
      if (this.script.death === 'reset' || end.readable > 0) end.abort();
      else end.shutdown();
    }
  }
}
