import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;
import redis.clients.jedis.authentication.AuthXManager;
import redis.clients.jedis.exceptions.JedisException;

/**
 * A web application that counts its visitors in Azure Managed Redis. It serves at the port that
 * PORT names, as App Service wants it.
 */
public class WebApp {
  public static void main(String[] args) throws Exception {
    // After Ctrl-C or SIGTERM the virtual machine waits for what run still has to do.
    var stopped = new CountDownLatch(1);
    var done = new CompletableFuture<Void>();
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  stopped.countDown();
                  done.join();
                }));
    try {
      run(stopped);
    } finally {
      done.complete(null);
    }
  }

  private static void run(CountDownLatch stopped) throws IOException, InterruptedException {
    // ANCHOR: shown
    TokenAuthConfig tokens =
        EntraIDTokenAuthConfigBuilder.builder()
            .scopes(Set.of("https://redis.azure.com/.default"))
            .systemAssignedManagedIdentity()
            // By default the sixth failure, counted from the start of the program, ends the
            // renewal.
            .maxAttemptsToRetry(1_000)
            .delayInMsToRetry(2_000)
            // The default, a second, is short for the first: the program has only just started.
            .tokenRequestExecTimeoutInMs(10_000)
            .build();
    var signIn = new AuthXManager(tokens);
    var config =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.defaults())
            .authXManager(signIn)
            .build();
    int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
    ExecutorService threads = Executors.newFixedThreadPool(16);

    // One for all requests: it is a pool, and safe for use by many threads.
    try (var redis = RedisClient.builder().hostAndPort(address()).clientConfig(config).build()) {
      var server = HttpServer.create(new InetSocketAddress(port), 0);
      server.setExecutor(threads);
      server.createContext(
          "/",
          exchange -> {
            try {
              answer(exchange, 200, "visit " + redis.incrBy("visits", 1) + "\n");
            } catch (JedisException e) {
              System.err.println("the visit was not counted: " + e);
              answer(exchange, 503, "try again later\n");
            }
          });
      server.start();
      stopped.await();
      // Visits that have begun are answered.
      server.stop(1);
    } finally {
      threads.shutdown();
      signIn.stop();
    }
    // ANCHOR_END: shown
  }

  private static void answer(HttpExchange exchange, int status, String text) throws IOException {
    byte[] body = text.getBytes(UTF_8);
    exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
    exchange.sendResponseHeaders(status, body.length);
    try (var out = exchange.getResponseBody()) {
      out.write(body);
    }
  }

  private static HostAndPort address() {
    return new HostAndPort(
        System.getenv("REDIS_HOST"),
        Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")));
  }
}
