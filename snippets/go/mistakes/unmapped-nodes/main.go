// Goes wrong: reaches the shards of a cluster by the IP addresses that they announce, which the
// certificate does not name.
package main

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"os"

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
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                        []string{net.JoinHostPort(os.Getenv("REDIS_HOST"), os.Getenv("REDIS_PORT"))},
		TLSConfig:                    &tls.Config{MinVersion: tls.VersionTLS12},
		StreamingCredentialsProvider: provider,
	})
	defer client.Close()
	return client.Set(ctx, "order:1", 1, 0).Err()
}
