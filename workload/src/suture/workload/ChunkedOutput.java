package suture.workload;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** A chunked response body with trailers (RFC 9112 section 7.1). */
final class ChunkedOutput {
  private static final byte[] END_OF_LINE = {'\r', '\n'};

  private final OutputStream out;

  ChunkedOutput(OutputStream out) {
    this.out = out;
  }

  void write(byte[] data, int count) throws IOException {
    out.write((Integer.toHexString(count) + "\r\n").getBytes(StandardCharsets.US_ASCII));
    out.write(data, 0, count);
    out.write(END_OF_LINE);
  }

  void flush() throws IOException {
    out.flush();
  }

  void end(Map<String, String> trailers) throws IOException {
    StringBuilder text = new StringBuilder("0\r\n");
    trailers.forEach((name, value) -> text.append(name).append(": ").append(value).append("\r\n"));
    out.write(text.append("\r\n").toString().getBytes(StandardCharsets.US_ASCII));
    out.flush();
  }
}
