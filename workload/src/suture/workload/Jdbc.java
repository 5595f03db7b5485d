package suture.workload;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * A program with a database, as application servers have them: some connections, each in a thread of its own, and
 * on each one transaction after the other on the tables that {@code pgbench -i} makes. Nothing here knows of a
 * proxy: with {@code -DsocksProxyHost} the driver's sockets go by one.
 *
 * <p>A transaction moves money as pgbench's does. Every few of them the connection also carries something large
 * each way, whose content is checked: a text that the server hashes, and hashes that the server lists.
 *
 * <p>Run: {@code java -cp workload/build:/usr/share/java/postgresql.jar suture.workload.Jdbc URL CONNECTIONS SECONDS}.
 * It writes one JSON document; any error counts and ends its connection.
 */
public final class Jdbc {
  private static final int LARGE_EVERY = 16;
  private static final int LISTED = 1000;
  private static final int LONGEST_TEXT = 100_000;

  private Jdbc() {}

  /** One connection and its thread. */
  private static final class Client extends Thread {
    private final String url;
    private final int number;
    private final long endNanos;
    private final List<Long> micros = new ArrayList<>();
    private long large;
    private Exception failure;

    Client(String url, int number, long endNanos) {
      this.url = url;
      this.number = number;
      this.endNanos = endNanos;
    }

    @Override
    public void run() {
      try (Connection connection = DriverManager.getConnection(url)) {
        connection.setAutoCommit(false);
        SplittableRandom random = new SplittableRandom(number);
        for (int i = 0; i == 0 || System.nanoTime() < endNanos; i++) {
          long started = System.nanoTime();
          transfer(connection, random);
          micros.add((System.nanoTime() - started) / 1000);
          if (i % LARGE_EVERY == 0) exchange(connection, random);
        }
      } catch (SQLException | RuntimeException error) {
        failure = error;
      }
    }

    private void transfer(Connection connection, SplittableRandom random) throws SQLException {
      int account = 1 + random.nextInt(100_000);
      int delta = random.nextInt(-5000, 5001);
      update(connection, "UPDATE pgbench_accounts SET abalance = abalance + ? WHERE aid = ?", delta, account);
      update(
          connection,
          "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, ?, ?, CURRENT_TIMESTAMP)",
          account,
          delta);
      connection.commit();
    }

    private static void update(Connection connection, String sql, int... values) throws SQLException {
      try (PreparedStatement statement = connection.prepareStatement(sql)) {
        for (int i = 0; i < values.length; i++) statement.setInt(i + 1, values[i]);
        if (statement.executeUpdate() != 1) throw new IllegalStateException("not one row: " + sql);
      }
    }

    private void exchange(Connection connection, SplittableRandom random) throws SQLException {
      String text = text(random, random.nextInt(1, LONGEST_TEXT));
      expect(connection, "SELECT md5(?)", text, md5(text));
      expect(
          connection,
          "SELECT string_agg(md5(n::text), '' ORDER BY n) FROM generate_series(1, ?::int) n",
          String.valueOf(LISTED),
          Hashed.LIST);
      connection.commit();
      large++;
    }

    private static void expect(Connection connection, String sql, String value, String expected)
        throws SQLException {
      try (PreparedStatement statement = connection.prepareStatement(sql)) {
        statement.setString(1, value);
        try (ResultSet rows = statement.executeQuery()) {
          if (!rows.next() || !expected.equals(rows.getString(1))) {
            throw new IllegalStateException("a wrong answer to " + sql);
          }
        }
      }
    }
  }

  /** What the server's list of hashes has to be. */
  private static final class Hashed {
    static final String LIST = list();

    private static String list() {
      StringBuilder all = new StringBuilder();
      IntStream.rangeClosed(1, LISTED).forEach(n -> all.append(md5(String.valueOf(n))));
      return all.toString();
    }
  }

  private static String text(SplittableRandom random, int length) {
    StringBuilder text = new StringBuilder(length);
    for (int i = 0; i < length; i++) text.append((char) ('a' + random.nextInt(26)));
    return text.toString();
  }

  private static String md5(String text) {
    try {
      byte[] digest = MessageDigest.getInstance("MD5").digest(text.getBytes(StandardCharsets.US_ASCII));
      return String.format("%032x", new BigInteger(1, digest));
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
  }

  public static void main(String[] args) throws InterruptedException {
    int connections = Integer.parseInt(args[1]);
    long seconds = Long.parseLong(args[2]);
    long started = System.nanoTime();
    List<Client> clients = new ArrayList<>();
    for (int i = 0; i < connections; i++) {
      Client client = new Client(args[0], i, started + seconds * 1_000_000_000L);
      clients.add(client);
      client.start();
    }
    for (Client client : clients) client.join();
    double took = (System.nanoTime() - started) / 1e9;
    for (Client client : clients) if (client.failure != null) client.failure.printStackTrace();
    long errors = clients.stream().filter(client -> client.failure != null).count();
    long large = clients.stream().mapToLong(client -> client.large).sum();
    long[] micros = clients.stream().flatMap(client -> client.micros.stream()).mapToLong(n -> n).toArray();
    Arrays.sort(micros);
    System.out.printf(
        "{\"connections\":%d,\"transactions\":%d,\"large\":%d,\"errors\":%d,\"seconds\":%.3f,"
            + "\"p50Micros\":%d,\"p99Micros\":%d}%n",
        connections, micros.length, large, errors, took, quantile(micros, 0.5), quantile(micros, 0.99));
  }

  private static long quantile(long[] sorted, double share) {
    return sorted.length == 0 ? 0 : sorted[(int) (share * (sorted.length - 1))];
  }
}
