#!/usr/bin/env dotnet
// Signs in to Azure Managed Redis from a Kubernetes pod, with the workload identity of its service
// account.
#:package Azure.Identity@1.21.0
#:package Microsoft.Azure.StackExchangeRedis@3.4.0
#:package StackExchange.Redis@3.4.35

using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST")
    ?? throw new InvalidOperationException("REDIS_HOST is not set");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

// ANCHOR: shown
var options = ConfigurationOptions.Parse($"{host}:{port}");
// Otherwise a refused token is not told.
options.AbortOnConnectFail = true;
// One connection for everything. A second one would not be signed in again.
options.Protocol = RedisProtocol.Resp3;
options.SharedSubscriptionConnection = true;
// AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE are set in a pod that has one.
await options.ConfigureForAzureWithTokenCredentialAsync(new WorkloadIdentityCredential());

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
Console.WriteLine(await redis.GetDatabase().ExecuteAsync("PING"));
// ANCHOR_END: shown
