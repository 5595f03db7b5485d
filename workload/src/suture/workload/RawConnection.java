package suture.workload;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/** One connection of the plain TCP service; its commands are listed at {@link Main}. */
final class RawConnection implements Runnable {
  private static final int CHUNK = 1 << 16;
  private static final int ANSWER_INTERVAL_MS = 20;
  private static final int ANSWER_BYTES = 4000;

  private final Socket socket;

  RawConnection(Socket socket) {
    this.socket = socket;
  }

  @Override
  public void run() {
    String command = "";
    try (socket) {
      InputStream in = new BufferedInputStream(socket.getInputStream(), CHUNK);
      OutputStream out = socket.getOutputStream();
      command = line(in);
      String[] words = command.split(" ");
      switch (words[0]) {
        case "ECHO" -> in.transferTo(out);
        case "SINK" -> sink(in, out, Double.parseDouble(words[1]));
        case "SOURCE" -> send(out, Long.parseLong(words[1]), Integer.parseInt(words[2]));
        case "DUPLEX" -> duplex(in, out, Long.parseLong(words[1]), Integer.parseInt(words[2]));
        case "RESET" -> reset(in, out, Long.parseLong(words[1]));
        case "HOLD" -> hold(in, out, Long.parseLong(words[1]));
        default -> Main.log("raw: unknown command '" + command + "'");
      }
    } catch (IOException | InterruptedException | CompletionException error) {
      String text = String.valueOf(error.getMessage());
      Main.log((text.contains("reset") ? "reset " : "failed ") + command + ": " + text);
    }
  }

  private static String line(InputStream in) throws IOException {
    StringBuilder text = new StringBuilder();
    for (int c = in.read(); c != '\n'; c = in.read()) {
      if (c < 0) throw new IOException("ended before its first line");
      text.append((char) c);
    }
    return text.toString().strip();
  }

  private static void send(OutputStream out, long count, int seed) throws IOException {
    Prng prng = new Prng(seed);
    byte[] buffer = new byte[CHUNK];
    for (long left = count; left > 0; ) {
      int n = (int) Math.min(left, CHUNK);
      prng.fill(buffer, n);
      out.write(buffer, 0, n);
      left -= n;
    }
  }

  private static void sink(InputStream in, OutputStream out, double seconds)
      throws IOException, InterruptedException {
    Upload upload = new Upload().read(in);
    String first = Hashes.hex(upload.digest) + " " + upload.bytes + "\n";
    out.write(first.getBytes(StandardCharsets.US_ASCII));
    Prng prng = new Prng((int) upload.bytes);
    MessageDigest sent = Hashes.sha256();
    byte[] piece = new byte[ANSWER_BYTES];
    long end = System.nanoTime() + (long) (seconds * 1e9);
    while (System.nanoTime() < end) {
      prng.fill(piece, piece.length);
      sent.update(piece);
      out.write(piece);
      Thread.sleep(ANSWER_INTERVAL_MS);
    }
    out.write(Hashes.hex(sent).getBytes(StandardCharsets.US_ASCII));
  }

  private static void duplex(InputStream in, OutputStream out, long count, int seed) throws IOException {
    CompletableFuture<Upload> reader = CompletableFuture.supplyAsync(() -> Upload.readAll(in), Upload::inThread);
    send(out, count, seed);
    Upload upload = reader.join();
    String last =
        String.format(
            Locale.ROOT, "%s %d %.3f\n", Hashes.hex(upload.digest), upload.bytes, upload.longestPauseMillis());
    out.write(last.getBytes(StandardCharsets.US_ASCII));
  }

  private static void hold(InputStream in, OutputStream out, long count) throws IOException {
    in.skipNBytes(count);
    out.write("held\n".getBytes(StandardCharsets.US_ASCII));
    in.transferTo(OutputStream.nullOutputStream());
  }

  private void reset(InputStream in, OutputStream out, long count) throws IOException {
    send(out, count, 1);
    in.read();
    // Linger 0 makes the close a reset (RFC 9293 section 3.10.4 calls it ABORT).
    socket.setSoLinger(true, 0);
  }
}
