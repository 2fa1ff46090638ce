package visits;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A web application that counts its visitors in Azure Managed Redis. */
@SpringBootApplication
@RestController
public class Application {
  private final StringRedisTemplate redis;

  Application(StringRedisTemplate redis) {
    this.redis = redis;
  }

  public static void main(String[] args) {
    SpringApplication.run(Application.class, args);
  }

  @GetMapping("/")
  String visit() {
    return "visit " + redis.opsForValue().increment("visits", 1) + "\n";
  }
}
