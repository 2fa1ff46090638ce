#!/usr/bin/env dotnet
// Signs in to Azure Managed Redis with the identity that is at hand: in Azure the application's, on your
// own machine yours, after `az login`.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35
#:include EntraIdProvider.cs

using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST")
    ?? throw new InvalidOperationException("REDIS_HOST is not set");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

// ANCHOR: shown
// AZURE_TOKEN_CREDENTIALS says which: `dev`, `prod`, or one such as AzureCliCredential. Without
// it this throws.
var credential = new DefaultAzureCredential(
    DefaultAzureCredential.DefaultEnvironmentVariableName);

var options = ConfigurationOptions.Parse($"{host}:{port}");
// Fetches a token now, and the next one before it expires.
options.Defaults = await EntraIdProvider.CreateAsync(credential);

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
Console.WriteLine(await redis.GetDatabase().ExecuteAsync("PING"));
// ANCHOR_END: shown
