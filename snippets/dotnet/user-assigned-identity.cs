#!/usr/bin/env dotnet
// Signs in to Azure Managed Redis with a user-assigned managed identity, chosen by its client id.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35
#:include EntraIdProvider.cs

using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST")
    ?? throw new InvalidOperationException("REDIS_HOST is not set");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

// ANCHOR: shown
var clientId = Environment.GetEnvironmentVariable("AZURE_CLIENT_ID");
var credential = new ManagedIdentityCredential(ManagedIdentityId.FromUserAssignedClientId(clientId));

var options = ConfigurationOptions.Parse($"{host}:{port}");
// Fetches a token now, and the next one before it expires.
options.Defaults = await EntraIdProvider.CreateAsync(credential);

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
Console.WriteLine(await redis.GetDatabase().ExecuteAsync("PING"));
// ANCHOR_END: shown
