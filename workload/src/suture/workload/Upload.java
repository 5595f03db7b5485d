package suture.workload;

import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.util.concurrent.CompletionException;

/** Reads a stream to its end, with its hash, its length and the longest pause between two reads. */
final class Upload {
  final MessageDigest digest = Hashes.sha256();
  long bytes;
  long longestPauseNanos;

  Upload read(InputStream in) throws IOException {
    byte[] buffer = new byte[1 << 16];
    long last = 0;
    for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
      long now = System.nanoTime();
      if (last != 0) longestPauseNanos = Math.max(longestPauseNanos, now - last);
      last = now;
      digest.update(buffer, 0, n);
      bytes += n;
    }
    return this;
  }

  /** For a reader in a thread of its own, whose failure its joiner gets to see. */
  static Upload readAll(InputStream in) {
    try {
      return new Upload().read(in);
    } catch (IOException error) {
      throw new CompletionException(error);
    }
  }

  /** Runs a reader beside its writer. */
  static void inThread(Runnable reader) {
    Thread thread = new Thread(reader, "upload");
    thread.setDaemon(true);
    thread.start();
  }

  double longestPauseMillis() {
    return longestPauseNanos / 1e6;
  }
}
