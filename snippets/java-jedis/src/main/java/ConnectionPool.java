import static java.util.concurrent.TimeUnit.MILLISECONDS;

import java.util.Collections;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.jedis.ConnectionPoolConfig;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;
import redis.clients.jedis.authentication.AuthXManager;

/** Many threads share a pool of connections to Azure Managed Redis while tokens are renewed. */
public class ConnectionPool {
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

  private static void run(CountDownLatch stopped) throws Exception {
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
    var four = new ConnectionPoolConfig();
    four.setMaxTotal(4);
    four.setMinIdle(4);

    ExecutorService threads = Executors.newFixedThreadPool(40);
    try (var redis =
        RedisClient.builder()
            .hostAndPort(address())
            .clientConfig(config)
            .poolConfig(four)
            .build()) {
      // Filled before the rush: many threads that wait for the first connections starve them.
      redis.getPool().preparePool();
      Callable<Integer> task =
          () -> {
            int commands = 0;
            while (!stopped.await(20, MILLISECONDS)) {
              redis.incrBy("commands", 1);
              commands++;
            }
            return commands;
          };
      int commands = 0;
      for (Future<Integer> result : threads.invokeAll(Collections.nCopies(40, task))) {
        commands += result.get();
      }
      System.out.println(commands + " commands of 40 tasks on 4 connections, none failed");
    } finally {
      threads.shutdownNow();
      signIn.stop();
    }
    // ANCHOR_END: shown
  }

  private static HostAndPort address() {
    return new HostAndPort(
        System.getenv("REDIS_HOST"),
        Integer.parseInt(System.getenv().getOrDefault("REDIS_PORT", "10000")));
  }
}
