#!/usr/bin/env dotnet
// Keeps one connection to Azure Managed Redis busy while its token is renewed again and again, until the
// program is told to stop.
#:package Azure.Identity@1.21.0
#:package StackExchange.Redis@3.4.35
#:include EntraIdProvider.cs

using System.Runtime.InteropServices;
using Azure.Identity;
using StackExchange.Redis;

var host = Environment.GetEnvironmentVariable("REDIS_HOST")
    ?? throw new InvalidOperationException("REDIS_HOST is not set");
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
var credential = new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned);
var options = ConfigurationOptions.Parse($"{host}:{port}");
options.Defaults = await EntraIdProvider.CreateAsync(credential);

await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
var database = redis.GetDatabase();

var roundTrips = 0;
while (!stop.IsCancellationRequested)
{
    await database.StringSetAsync("round-trips", roundTrips);
    var stored = (int)await database.StringGetAsync("round-trips");
    if (stored != roundTrips)
    {
        throw new InvalidOperationException($"wrote {roundTrips} and read {stored}");
    }
    roundTrips++;
    await Task.Delay(150);
}
Console.WriteLine($"{roundTrips} round trips on one connection, none failed.");
// ANCHOR_END: shown
