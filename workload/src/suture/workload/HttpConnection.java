package suture.workload;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/** One HTTP/1.1 connection, request after request until the client ends it; paths are listed at {@link Main}. */
final class HttpConnection implements Runnable {
  private static final int CHUNK = 1 << 16;

  private final Socket socket;

  HttpConnection(Socket socket) {
    this.socket = socket;
  }

  @Override
  public void run() {
    try (socket) {
      InputStream in = new BufferedInputStream(socket.getInputStream(), CHUNK);
      OutputStream out = new BufferedOutputStream(socket.getOutputStream(), CHUNK);
      boolean open = true;
      while (open) {
        HttpRequest request = HttpRequest.read(in);
        if (request == null) break;
        answer(request, out);
        out.flush();
        open = request.keepAlive();
      }
    } catch (IOException | InterruptedException | CompletionException error) {
      Main.log("http: " + error.getMessage());
    }
  }

  private void answer(HttpRequest request, OutputStream out) throws IOException, InterruptedException {
    switch (request.method + " " + request.path) {
      case "GET /ping" -> text(out, "200 OK", "text/plain", "pong\n");
      case "GET /download" -> download(request, chunked(out));
      case "GET /hash" -> hash(request, out);
      case "POST /upload" -> json(out, new Upload().read(request.body()));
      case "POST /both" -> both(request, chunked(out));
      case "GET /stream" -> stream(request, chunked(out));
      default -> text(out, "404 Not Found", "text/plain", "no such path\n");
    }
  }

  private static void text(OutputStream out, String status, String type, String body) throws IOException {
    byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
    head(out, status, "Content-Type: " + type + "\r\nContent-Length: " + bytes.length);
    out.write(bytes);
  }

  private static void head(OutputStream out, String status, String headers) throws IOException {
    String text = "HTTP/1.1 " + status + "\r\nServer: suture-workload\r\n" + headers + "\r\n\r\n";
    out.write(text.getBytes(StandardCharsets.US_ASCII));
  }

  private static ChunkedOutput chunked(OutputStream out) throws IOException {
    head(out, "200 OK", "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked");
    return new ChunkedOutput(out);
  }

  private static void json(OutputStream out, Upload upload) throws IOException {
    String body = "{\"bytes\":" + upload.bytes + ",\"sha256\":\"" + Hashes.hex(upload.digest) + "\"}\n";
    text(out, "200 OK", "application/json", body);
  }

  private static void hash(HttpRequest request, OutputStream out) throws IOException {
    Upload made = new Upload();
    made.bytes = request.number("bytes", 0);
    generate(request, (buffer, n) -> made.digest.update(buffer, 0, n));
    json(out, made);
  }

  private interface Sink {
    void accept(byte[] buffer, int count) throws IOException;
  }

  private static void generate(HttpRequest request, Sink sink) throws IOException {
    Prng prng = new Prng((int) request.number("seed", 1));
    byte[] buffer = new byte[CHUNK];
    for (long left = request.number("bytes", 0); left > 0; ) {
      int n = (int) Math.min(left, CHUNK);
      prng.fill(buffer, n);
      sink.accept(buffer, n);
      left -= n;
    }
  }

  private static void download(HttpRequest request, ChunkedOutput body) throws IOException {
    body.end(Map.of("X-Sha256", send(request, body)));
  }

  /** Sends what the request asks for and returns its hash. */
  private static String send(HttpRequest request, ChunkedOutput body) throws IOException {
    MessageDigest sent = Hashes.sha256();
    generate(
        request,
        (buffer, n) -> {
          sent.update(buffer, 0, n);
          body.write(buffer, n);
        });
    return Hashes.hex(sent);
  }

  /** The upload is read on a thread of its own, so that neither direction waits for the other. */
  private static void both(HttpRequest request, ChunkedOutput body) throws IOException {
    InputStream in = request.body();
    CompletableFuture<Upload> reader = CompletableFuture.supplyAsync(() -> Upload.readAll(in), Upload::inThread);
    Map<String, String> trailers = new LinkedHashMap<>();
    trailers.put("X-Sha256", send(request, body));
    Upload upload = reader.join();
    trailers.put("X-Upload-Sha256", Hashes.hex(upload.digest));
    trailers.put("X-Upload-Bytes", Long.toString(upload.bytes));
    trailers.put("X-Upload-Pause-Ms", String.format(Locale.ROOT, "%.3f", upload.longestPauseMillis()));
    body.end(trailers);
  }

  private void stream(HttpRequest request, ChunkedOutput body) throws IOException, InterruptedException {
    long interval = request.number("interval", 100);
    long lines = request.number("seconds", 1) * 1000 / interval;
    MessageDigest sent = Hashes.sha256();
    for (long i = 1; i <= lines; i++) {
      byte[] line = ("tick " + i + " of " + lines + "\n").getBytes(StandardCharsets.US_ASCII);
      sent.update(line);
      body.write(line, line.length);
      body.flush();
      Thread.sleep(interval);
    }
    body.end(Map.of("X-Sha256", Hashes.hex(sent)));
  }
}
