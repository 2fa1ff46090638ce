#!/usr/bin/env dotnet
// Signs in to Azure Managed Redis with a token in place of an access key, and goes on while access keys are
// turned off, until the program is told to stop.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35
#:include EntraIdProvider.cs

using System.Runtime.InteropServices;
using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST") ?? throw new InvalidOperationException("REDIS_HOST is not set");
var port = Environment.GetEnvironmentVariable("REDIS_PORT") ?? "10000";

using var stop = new CancellationTokenSource();
using var interrupted = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
void Stop(PosixSignalContext signal)
{
    signal.Cancel = true; // It is us who end the program.
    stop.Cancel();
}

// ANCHOR: shown
var options = ConfigurationOptions.Parse($"{host}:{port}");
// In place of a password.
options.Defaults = await EntraIdProvider.CreateAsync(new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned));

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
var database = redis.GetDatabase();
async Task<int> RoundTrip(int number)
{
    await database.StringSetAsync("round-trips", number);
    return (int)await database.StringGetAsync("round-trips");
}

var roundTrips = 0;
while (!stop.IsCancellationRequested)
{
    int stored;
    try
    {
        stored = await RoundTrip(roundTrips);
    }
    catch (RedisConnectionException)
    {
        // Turning access keys off drops every connection, those that signed in with a token too. The client
        // connects again. What was on its way is lost; it may be repeated, for it comes to the same.
        stored = await RoundTrip(roundTrips);
    }
    if (stored != roundTrips)
    {
        throw new InvalidOperationException($"wrote {roundTrips} and read {stored}");
    }
    roundTrips++;
    await Task.Delay(100);
}
Console.WriteLine($"{roundTrips} round trips, none lost");
// ANCHOR_END: shown
