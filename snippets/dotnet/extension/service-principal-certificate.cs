#!/usr/bin/env dotnet
// Signs in to Azure Managed Redis as a service principal that proves itself with a certificate.
#:package Microsoft.Azure.StackExchangeRedis@3.4.0
#:package StackExchange.Redis@3.4.35

using System.Security.Cryptography.X509Certificates;
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
// A PEM file with the certificate and its private key.
using var certificate = X509Certificate2.CreateFromPemFile(Required("AZURE_CLIENT_CERTIFICATE_PATH"));
await options.ConfigureForAzureWithServicePrincipalAsync(
    clientId: Required("AZURE_CLIENT_ID"),
    tenantId: Required("AZURE_TENANT_ID"),
    certificate: certificate);

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
Console.WriteLine(await redis.GetDatabase().ExecuteAsync("PING"));
// ANCHOR_END: shown

static string Required(string name) =>
    Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException($"{name} is not set");
