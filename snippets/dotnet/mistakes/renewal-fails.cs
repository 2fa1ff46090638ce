#!/usr/bin/env dotnet
// Meets an Entra ID that gives no token for a while, just when the next one is due.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35
#:include ../EntraIdProvider.cs

using Azure.Core;
using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST");
var port = Environment.GetEnvironmentVariable("REDIS_PORT");

var options = ConfigurationOptions.Parse($"{host}:{port}");
options.Defaults = await EntraIdProvider.CreateAsync(
    new Unreliable(new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned)));

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
var database = redis.GetDatabase();
for (var until = DateTime.UtcNow.AddSeconds(12); DateTime.UtcNow < until;)
{
    await database.PingAsync();
    await Task.Delay(50);
}
Console.WriteLine("no command failed");

// Fails twice after the first token.
sealed class Unreliable(TokenCredential credential) : TokenCredential
{
    private int _asked;

    public override async ValueTask<AccessToken> GetTokenAsync(
        TokenRequestContext context, CancellationToken cancellation) =>
        ++_asked is 2 or 3
            ? throw new HttpRequestException("there is no way to Entra ID")
            : await credential.GetTokenAsync(context, cancellation);

    public override AccessToken GetToken(TokenRequestContext context, CancellationToken cancellation) =>
        throw new NotSupportedException();
}
