// Goes wrong: the pool may not open another connection while its only one signs in again.
package main

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"os"
	"time"

	entraid "github.com/redis/go-redis-entraid"
	"github.com/redis/go-redis-entraid/identity"
	"github.com/redis/go-redis/v9"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	provider, err := entraid.NewManagedIdentityCredentialsProvider(
		entraid.ManagedIdentityCredentialsProviderOptions{
			ManagedIdentityProviderOptions: identity.ManagedIdentityProviderOptions{
				ManagedIdentityType: identity.SystemAssignedIdentity,
			},
		})
	if err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{
		Addr:                         net.JoinHostPort(os.Getenv("REDIS_HOST"), os.Getenv("REDIS_PORT")),
		TLSConfig:                    &tls.Config{MinVersion: tls.VersionTLS12},
		StreamingCredentialsProvider: provider,
		PoolSize:                     1,
		MaxActiveConns:               1,
	})
	defer client.Close()
	for {
		if err := client.Incr(ctx, "orders").Err(); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
