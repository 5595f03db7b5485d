package suture.workload;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * The workload behind the core: a small service of the kind that runs in application servers, and a plain
 * TCP service beside it for what HTTP does not do (half-close, reset, ping-pong).
 *
 * <p>Run: {@code java -cp workload/build suture.workload.Main --http 10.201.3.2:8080 --raw 10.201.3.2:8081}.
 * Both options may be given several times; IPv6 addresses stand in brackets. One line
 * {@code listening KIND ADDRESS} is written per listener, then {@code ready}. SIGTERM ends it.
 *
 * <p>HTTP/1.1 with keep-alive ({@link HttpConnection}):
 * <ul>
 *   <li>{@code GET /ping}: a few bytes.
 *   <li>{@code GET /download?bytes=N&seed=S}: N bytes of {@link Prng}; their SHA-256 in the trailer X-Sha256.
 *   <li>{@code GET /hash?bytes=N&seed=S}: the SHA-256 of that download as JSON.
 *   <li>{@code POST /upload}: answers {@code {"bytes":…,"sha256":…}}.
 *   <li>{@code POST /both?bytes=N&seed=S}: sends a download while it reads the upload; the trailers X-Sha256,
 *       X-Upload-Sha256, X-Upload-Bytes and X-Upload-Pause-Ms follow the body.
 *   <li>{@code GET /stream?seconds=N&interval=MS}: one line per interval, chunk by chunk, then a trailer X-Sha256.
 * </ul>
 *
 * <p>Plain TCP ({@link RawConnection}); the first line is the command:
 * <ul>
 *   <li>{@code ECHO}: sends back what comes until the end of it.
 *   <li>{@code SINK SECONDS}: reads to the end, answers {@code SHA256 COUNT} in a line, goes on sending for
 *       SECONDS, and ends with the SHA-256 of what it sent after that line, as 64 characters.
 *   <li>{@code SOURCE N SEED}: sends N bytes of {@link Prng} and closes.
 *   <li>{@code DUPLEX N SEED}: SOURCE while it reads to the end of what the client sends; then, in a line,
 *       {@code SHA256 COUNT LONGEST_PAUSE_MS} of that.
 *   <li>{@code RESET N}: sends N bytes, waits for one byte of the client's, and resets.
 *   <li>{@code HOLD N}: reads N bytes, says {@code held} in a line, and waits for the client to end; after a
 *       reset it logs {@code reset}.
 * </ul>
 */
public final class Main {
  private Main() {}

  private interface Service {
    Runnable accept(Socket socket);
  }

  public static void main(String[] args) throws IOException {
    ExecutorService threads = Executors.newCachedThreadPool();
    List<Runnable> listeners = new ArrayList<>();
    for (int i = 0; i < args.length; i += 2) {
      if (i + 1 == args.length) throw usage();
      Service service =
          switch (args[i]) {
            case "--http" -> HttpConnection::new;
            case "--raw" -> RawConnection::new;
            default -> throw usage();
          };
      ServerSocket server = listen(args[i + 1]);
      listeners.add(() -> serve(server, service, threads));
      System.out.println("listening " + args[i].substring(2) + " " + args[i + 1]);
    }
    if (listeners.isEmpty()) throw usage();
    listeners.forEach(threads::execute);
    System.out.println("ready");
  }

  private static IllegalArgumentException usage() {
    return new IllegalArgumentException("expected: --http ADDRESS:PORT | --raw ADDRESS:PORT, at least one");
  }

  private static ServerSocket listen(String endpoint) throws IOException {
    int colon = endpoint.lastIndexOf(':');
    InetAddress address = InetAddress.getByName(endpoint.substring(0, colon));
    ServerSocket server = new ServerSocket();
    server.setReuseAddress(true);
    server.bind(new InetSocketAddress(address, Integer.parseInt(endpoint.substring(colon + 1))), 1024);
    return server;
  }

  private static void serve(ServerSocket server, Service service, ExecutorService threads) {
    while (true) {
      try {
        Socket socket = server.accept();
        socket.setTcpNoDelay(true);
        threads.execute(service.accept(socket));
      } catch (IOException error) {
        log("accept: " + error.getMessage());
      }
    }
  }

  /** One line on standard error, whole, whichever thread writes it. */
  static void log(String line) {
    System.err.println(line);
  }
}
