package suture.workload;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.concurrent.CompletableFuture;

/**
 * A program of the core's that calls a far server: an exchange in both directions at once with the plain TCP
 * service of {@link Main}, over a {@link Socket} as any program opens it. Where that goes is the JVM's business:
 * with {@code -DsocksProxyHost} it goes by a proxy, and nothing here knows.
 *
 * <p>Run: {@code java -cp workload/build suture.workload.Client HOST PORT BYTES SEED}. It writes one JSON document,
 * with both directions' hashes as they were sent and as they arrived.
 */
public final class Client {
  private static final int CHUNK = 1 << 16;

  private Client() {}

  public static void main(String[] args) throws IOException {
    long bytes = Long.parseLong(args[2]);
    int seed = Integer.parseInt(args[3]);
    try (Socket socket = new Socket(args[0], Integer.parseInt(args[1]))) {
      socket.setTcpNoDelay(true);
      InputStream in = socket.getInputStream();
      OutputStream out = socket.getOutputStream();
      String command = "DUPLEX " + bytes + " " + seed + "\n";
      out.write(command.getBytes(StandardCharsets.US_ASCII));
      CompletableFuture<String> down = CompletableFuture.supplyAsync(() -> receive(in, bytes), Upload::inThread);
      String sent = send(out, bytes, seed + 1);
      socket.shutdownOutput();
      String received = down.join();
      // What the server got: SHA-256, length, longest pause.
      String tail = new String(in.readAllBytes(), StandardCharsets.US_ASCII);
      String[] far = tail.strip().split(" ");
      System.out.printf(
          "{\"local\":\"%s\",\"written\":%d,\"read\":%d,\"up\":{\"bytes\":%s,\"sent\":\"%s\",\"received\":\"%s\"},"
              + "\"down\":{\"bytes\":%d,\"sent\":\"%s\",\"received\":\"%s\"}}%n",
          local(socket),
          command.length() + bytes,
          bytes + tail.length(),
          far[1],
          sent,
          far[0],
          bytes,
          expected(bytes, seed),
          received);
    }
  }

  private static String local(Socket socket) {
    String address = socket.getLocalAddress().getHostAddress();
    return (address.contains(":") ? "[" + address + "]" : address) + ":" + socket.getLocalPort();
  }

  private static String send(OutputStream out, long count, int seed) throws IOException {
    Prng prng = new Prng(seed);
    MessageDigest sent = Hashes.sha256();
    byte[] buffer = new byte[CHUNK];
    for (long left = count; left > 0; ) {
      int n = (int) Math.min(left, CHUNK);
      prng.fill(buffer, n);
      sent.update(buffer, 0, n);
      out.write(buffer, 0, n);
      left -= n;
    }
    return Hashes.hex(sent);
  }

  private static String receive(InputStream in, long count) {
    MessageDigest received = Hashes.sha256();
    byte[] buffer = new byte[CHUNK];
    try {
      for (long left = count; left > 0; ) {
        int n = in.read(buffer, 0, (int) Math.min(left, CHUNK));
        if (n < 0) throw new IOException("ended with " + left + " bytes missing");
        received.update(buffer, 0, n);
        left -= n;
      }
    } catch (IOException error) {
      throw new java.util.concurrent.CompletionException(error);
    }
    return Hashes.hex(received);
  }

  private static String expected(long count, int seed) throws IOException {
    return send(OutputStream.nullOutputStream(), count, seed);
  }
}
