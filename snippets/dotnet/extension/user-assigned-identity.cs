#!/usr/bin/env dotnet
// Signs in to Azure Managed Redis with a user-assigned managed identity, chosen by its client id.
#:package Microsoft.Azure.StackExchangeRedis@3.4.0
#:package StackExchange.Redis@3.4.35

using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST") ?? throw new InvalidOperationException("REDIS_HOST is not set");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

// ANCHOR: shown
var options = ConfigurationOptions.Parse($"{host}:{port}");
options.AbortOnConnectFail = true; // Otherwise a refused token is not told.
options.Protocol = RedisProtocol.Resp3;
options.SharedSubscriptionConnection = true; // A second connection would not be signed in again.
await options.ConfigureForAzureWithUserAssignedManagedIdentityAsync(
    Environment.GetEnvironmentVariable("AZURE_CLIENT_ID") ?? throw new InvalidOperationException("AZURE_CLIENT_ID is not set"));

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
Console.WriteLine(await redis.GetDatabase().ExecuteAsync("PING"));
// ANCHOR_END: shown
