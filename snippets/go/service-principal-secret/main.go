// Signs in to Azure Managed Redis as a service principal that proves itself with a client secret.
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
	// The user name is the principal's object id. The library reads it from the token.
	provider, err := entraid.NewConfidentialCredentialsProvider(
		entraid.ConfidentialCredentialsProviderOptions{
			ConfidentialIdentityProviderOptions: identity.ConfidentialIdentityProviderOptions{
				CredentialsType: identity.ClientSecretCredentialType,
				ClientID:        os.Getenv("AZURE_CLIENT_ID"),
				ClientSecret:    os.Getenv("AZURE_CLIENT_SECRET"),
				// The default is the tenant "common", which is nobody's.
				Authority: identity.AuthorityConfiguration{
					AuthorityType: identity.AuthorityTypeMultiTenant,
					TenantID:      os.Getenv("AZURE_TENANT_ID"),
				},
			},
		})
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
