package suture.workload;

import java.io.IOException;
import java.io.InputStream;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/** A request line, its query and its headers, read from a stream that is then at the start of the body. */
final class HttpRequest {
  private static final int MAX_LINE = 8192;

  final String method;
  final String path;
  private final Map<String, String> query = new HashMap<>();
  private final Map<String, String> headers = new HashMap<>();
  private final InputStream in;

  private HttpRequest(String requestLine, InputStream in) throws IOException {
    String[] parts = requestLine.split(" ");
    if (parts.length != 3) throw new IOException("not a request line: " + requestLine);
    method = parts[0];
    String[] target = parts[1].split("\\?", 2);
    path = target[0];
    this.in = in;
    if (target.length == 2) {
      for (String pair : target[1].split("&")) {
        String[] words = pair.split("=", 2);
        query.put(words[0], words.length == 2 ? words[1] : "");
      }
    }
    for (String line = line(in); !line.isEmpty(); line = line(in)) {
      String[] words = line.split(":", 2);
      if (words.length == 2) headers.put(words[0].toLowerCase(Locale.ROOT), words[1].strip());
    }
  }

  /** The connection's next request, or null when the client has ended it. */
  static HttpRequest read(InputStream in) throws IOException {
    String first = line(in);
    return first.isEmpty() ? null : new HttpRequest(first, in);
  }

  private static String line(InputStream in) throws IOException {
    StringBuilder text = new StringBuilder();
    for (int c = in.read(); c >= 0 && c != '\n'; c = in.read()) {
      if (text.length() > MAX_LINE) throw new IOException("a header line is too long");
      text.append((char) c);
    }
    return text.toString().stripTrailing();
  }

  long number(String name, long otherwise) {
    String text = query.get(name);
    return text == null ? otherwise : Long.parseLong(text);
  }

  boolean keepAlive() {
    return !"close".equalsIgnoreCase(headers.get("connection"));
  }

  /** The body, which ends where its framing says (RFC 9112 section 6). */
  InputStream body() {
    if ("chunked".equalsIgnoreCase(headers.get("transfer-encoding"))) return new Chunked();
    return new Fixed(Long.parseLong(headers.getOrDefault("content-length", "0")));
  }

  private final class Fixed extends InputStream {
    private long left;

    Fixed(long length) {
      left = length;
    }

    @Override
    public int read() throws IOException {
      byte[] one = new byte[1];
      return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] into, int offset, int length) throws IOException {
      if (left == 0) return -1;
      int n = in.read(into, offset, (int) Math.min(length, left));
      if (n < 0) throw new IOException("the body ended " + left + " bytes early");
      left -= n;
      return n;
    }
  }

  private final class Chunked extends InputStream {
    private long left;
    private boolean ended;

    @Override
    public int read() throws IOException {
      byte[] one = new byte[1];
      return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] into, int offset, int length) throws IOException {
      if (ended) return -1;
      if (left == 0) {
        left = Long.parseLong(line(in).split(";")[0], 16);
        if (left == 0) {
          while (!line(in).isEmpty()) continue;
          ended = true;
          return -1;
        }
      }
      int n = in.read(into, offset, (int) Math.min(length, left));
      if (n < 0) throw new IOException("the body ended inside a chunk");
      left -= n;
      if (left == 0) line(in);
      return n;
    }
  }
}
