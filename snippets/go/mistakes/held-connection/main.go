// Goes wrong: a connection that is kept out of the pool does not sign in again.
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
	})
	defer client.Close()
	if err := client.Ping(ctx).Err(); err != nil {
		return err
	}

	conn := client.Conn()
	defer conn.Close()
	for {
		if err := conn.Incr(ctx, "orders").Err(); err != nil {
			// It does not recover either.
			return conn.Incr(ctx, "orders").Err()
		}
		time.Sleep(200 * time.Millisecond)
	}
}
