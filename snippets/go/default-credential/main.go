// Signs in to Azure Managed Redis as whoever is signed in: on your machine you, through the Azure
// CLI, and in Azure the application's managed identity.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"os"

	entraid "github.com/redis/go-redis-entraid"
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
	// AZURE_TOKEN_CREDENTIALS says which of its ways to try: "dev", "prod", or one by its name.
	provider, err := entraid.NewDefaultAzureCredentialsProvider(
		entraid.DefaultAzureCredentialsProviderOptions{})
	if err != nil {
		return err
	}

	client := redis.NewClient(&redis.Options{
		Addr:                         net.JoinHostPort(os.Getenv("REDIS_HOST"), cmp.Or(os.Getenv("REDIS_PORT"), "10000")),
		TLSConfig:                    &tls.Config{MinVersion: tls.VersionTLS12},
		StreamingCredentialsProvider: provider,
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
