#!/usr/bin/env dotnet
// Sets a user name of its own, which comes before the provider's.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35
#:include ../EntraIdProvider.cs

using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST");
var port = Environment.GetEnvironmentVariable("REDIS_PORT");

var clientId = Environment.GetEnvironmentVariable("AZURE_CLIENT_ID");
var options = ConfigurationOptions.Parse($"{host}:{port}");
options.Defaults = await EntraIdProvider.CreateAsync(
    new ManagedIdentityCredential(ManagedIdentityId.FromUserAssignedClientId(clientId)));
options.User = clientId;

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
