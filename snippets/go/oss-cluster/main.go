// Reads and writes across the shards of an Azure Managed Redis with the clustering policy OSSCluster.
// Each shard has connections of its own, and each of them signs in by itself.
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
	// ANCHOR: shown
	provider, err := entraid.NewManagedIdentityCredentialsProvider(
		entraid.ManagedIdentityCredentialsProviderOptions{
			ManagedIdentityProviderOptions: identity.ManagedIdentityProviderOptions{
				ManagedIdentityType: identity.SystemAssignedIdentity,
			},
		})
	if err != nil {
		return err
	}

	host := os.Getenv("REDIS_HOST")
	dialer := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12}}
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                        []string{net.JoinHostPort(host, cmp.Or(os.Getenv("REDIS_PORT"), "10000"))},
		StreamingCredentialsProvider: provider,
		// The shards announce IP addresses, and the certificate names the host: reach each by that.
		Dialer: func(ctx context.Context, network, announced string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(announced)
			if err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort(host, port))
		},
	})
	defer client.Close()

	for n := range 30 {
		key := fmt.Sprintf("order:%d", n)
		if err := client.Set(ctx, key, n, 0).Err(); err != nil {
			return err
		}
		stored, err := client.Get(ctx, key).Int()
		if err != nil {
			return err
		}
		if stored != n {
			return fmt.Errorf("wrote %d and read %d", n, stored)
		}
	}
	fmt.Println("30 keys written and read, wherever they are")
	// ANCHOR_END: shown
	return nil
}
