#!/usr/bin/env dotnet
// Signs in to Azure Managed Redis as a service principal that proves itself with a client secret.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35
#:include EntraIdProvider.cs

using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST")
    ?? throw new InvalidOperationException("REDIS_HOST is not set");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

// ANCHOR: shown
var credential = new ClientSecretCredential(
    Environment.GetEnvironmentVariable("AZURE_TENANT_ID"),
    Environment.GetEnvironmentVariable("AZURE_CLIENT_ID"),
    Environment.GetEnvironmentVariable("AZURE_CLIENT_SECRET"));

var options = ConfigurationOptions.Parse($"{host}:{port}");
// Fetches a token now, and the next one before it expires.
options.Defaults = await EntraIdProvider.CreateAsync(credential);

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
Console.WriteLine(await redis.GetDatabase().ExecuteAsync("PING"));
// ANCHOR_END: shown
