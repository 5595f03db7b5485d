package suture.workload;

/**
 * The byte stream that every transfer of the workload carries: a 32-bit xorshift generator, each word
 * written little endian. The same seed gives the same bytes in any language, at any chunking, so both ends
 * of a transfer can make the stream that the other should have sent.
 */
final class Prng {
  private int state;
  private int word;
  private int left;

  Prng(int seed) {
    // Zero is the one state that xorshift never leaves.
    state = seed == 0 ? 0x9e3779b9 : seed;
  }

  private int next() {
    int x = state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    state = x;
    return x;
  }

  /** Fills the first {@code count} bytes of {@code out} with the stream's next bytes. */
  void fill(byte[] out, int count) {
    int at = 0;
    while (at < count && left > 0) at = drain(out, at);
    while (count - at >= 4) {
      int x = next();
      out[at] = (byte) x;
      out[at + 1] = (byte) (x >>> 8);
      out[at + 2] = (byte) (x >>> 16);
      out[at + 3] = (byte) (x >>> 24);
      at += 4;
    }
    while (at < count) {
      if (left == 0) {
        word = next();
        left = 4;
      }
      at = drain(out, at);
    }
  }

  private int drain(byte[] out, int at) {
    out[at] = (byte) word;
    word >>>= 8;
    left -= 1;
    return at + 1;
  }
}
