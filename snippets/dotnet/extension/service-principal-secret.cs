#!/usr/bin/env dotnet
// Signs in to Azure Managed Redis as a service principal that proves itself with a client secret.
#:package Microsoft.Azure.StackExchangeRedis@3.4.0
#:package StackExchange.Redis@3.4.35

using StackExchange.Redis;

var host = Required("REDIS_HOST");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

// ANCHOR: shown
var options = ConfigurationOptions.Parse($"{host}:{port}");
// Otherwise a refused token is not told.
options.AbortOnConnectFail = true;
// One connection for everything. A second one would not be signed in again.
options.Protocol = RedisProtocol.Resp3;
options.SharedSubscriptionConnection = true;
await options.ConfigureForAzureWithServicePrincipalAsync(
    clientId: Required("AZURE_CLIENT_ID"),
    tenantId: Required("AZURE_TENANT_ID"),
    secret: Required("AZURE_CLIENT_SECRET"));

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
Console.WriteLine(await redis.GetDatabase().ExecuteAsync("PING"));
// ANCHOR_END: shown

static string Required(string name) =>
    Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException($"{name} is not set");
