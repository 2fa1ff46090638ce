// Signs in to Azure Managed Redis from a Kubernetes pod, with the workload identity of its service
// account.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	entraid "github.com/redis/go-redis-entraid"
	"github.com/redis/go-redis-entraid/identity"
	"github.com/redis/go-redis-entraid/manager"
	"github.com/redis/go-redis-entraid/shared"
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
	// AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE are set in a pod that has one.
	credential, err := azidentity.NewWorkloadIdentityCredential(nil)
	if err != nil {
		return err
	}
	tokens, err := manager.NewTokenManager(bridge{credential}, manager.TokenManagerOptions{})
	if err != nil {
		return err
	}
	provider, err := entraid.NewCredentialsProvider(tokens, entraid.CredentialsProviderOptions{})
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
	return nil
}

// bridge makes a credential of azidentity one that go-redis-entraid takes.
type bridge struct {
	credential azcore.TokenCredential
}

func (b bridge) RequestToken(ctx context.Context) (entraid.IdentityProviderResponse, error) {
	token, err := b.credential.GetToken(ctx, policy.TokenRequestOptions{
		Scopes: []string{identity.RedisScopeDefault},
	})
	if err != nil {
		return nil, err
	}
	return shared.NewIDPResponse(shared.ResponseTypeAccessToken, &token)
}

// ANCHOR_END: shown
