package mistakes;

import java.util.Set;
import redis.clients.authentication.core.TokenAuthConfig;
import redis.clients.authentication.entraid.EntraIDTokenAuthConfigBuilder;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.SslOptions;
import redis.clients.jedis.authentication.AuthXManager;

/** Wrong: does not stop what renews the token when there is no first one. */
public class NoWayOut {
  public static void main(String[] args) {
    TokenAuthConfig tokens =
        EntraIDTokenAuthConfigBuilder.builder()
            .scopes(Set.of("https://redis.azure.com/.default"))
            .clientId(System.getenv("AZURE_CLIENT_ID"))
            .secret("not-the-secret")
            .authority("https://login.microsoftonline.com/" + System.getenv("AZURE_TENANT_ID"))
            .tokenRequestExecTimeoutInMs(10_000)
            .build();
    var config =
        DefaultJedisClientConfig.builder()
            .sslOptions(SslOptions.defaults())
            .authXManager(new AuthXManager(tokens))
            .build();
    var address =
        new HostAndPort(System.getenv("REDIS_HOST"), Integer.parseInt(System.getenv("REDIS_PORT")));

    // Ends a program that would stay, so that this can be shown.
    var main = Thread.currentThread();
    var watch =
        new Thread(
            () -> {
              try {
                main.join();
                Thread.sleep(3_000);
              } catch (InterruptedException e) {
                return;
              }
              System.out.println("main ended three seconds ago, and the program still runs");
              Runtime.getRuntime().halt(1);
            });
    watch.setDaemon(true);
    watch.start();

    try (var redis = RedisClient.builder().hostAndPort(address).clientConfig(config).build()) {
      System.out.println(redis.ping());
    }
  }
}
