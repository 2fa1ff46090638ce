// Signs in to Azure Managed Redis with an access key, as most programs did until now.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/redis/go-redis/v9"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	// ANCHOR: shown
	client := redis.NewClient(&redis.Options{
		Addr:      net.JoinHostPort(os.Getenv("REDIS_HOST"), cmp.Or(os.Getenv("REDIS_PORT"), "10000")),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		Password:  os.Getenv("REDIS_ACCESS_KEY"),
	})
	defer client.Close()

	reply, err := client.Ping(ctx).Result()
	if err != nil {
		return err
	}
	fmt.Println(reply)
	// ANCHOR_END: shown
	return nil
}
