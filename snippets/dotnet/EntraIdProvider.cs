// Signs connections to Azure Managed Redis in with Microsoft Entra ID tokens. The programs in this
// folder include it.

using System.Buffers.Text;
using System.Text.Json;
using Azure.Core;
using StackExchange.Redis;
using StackExchange.Redis.Configuration;

// ANCHOR: shown
/// <summary>
/// Gives every connection its user name and a valid token, and signs the open ones in again before
/// the token expires. Its base class chooses TLS and RESP3.
/// </summary>
sealed class EntraIdProvider : AzureManagedRedisOptionsProvider
{
    private static readonly TokenRequestContext Request = new(["https://redis.azure.com/.default"]);

    private readonly TokenCredential _credential;
    private SignIn _current;

    private EntraIdProvider(TokenCredential credential, SignIn first) =>
        (_credential, _current) = (credential, first);

    /// <summary>Fetches the first token. Whatever prevents that is told by an exception.</summary>
    public static async Task<EntraIdProvider> CreateAsync(TokenCredential credential) =>
        new(credential, await FetchAsync(credential));

    // The client asks for these whenever it connects, so a connection that broke comes back with
    // the newest token.
    public override string User => _current.User;
    public override string Password => _current.Token;

    // Publish/subscribe shares the one connection: a second one would not be signed in again.
    public override bool SharedSubscriptionConnection => true;

    // A refused token ends the start of the program, with its cause.
    public override bool AbortOnConnectFail => true;

    public override Task AfterConnectAsync(ConnectionMultiplexer multiplexer, Action<string> log)
    {
        _ = KeepSignedInAsync(multiplexer);
        return Task.CompletedTask;
    }

    private async Task KeepSignedInAsync(ConnectionMultiplexer redis)
    {
        var signedIn = _current;
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(2));
        while (await timer.WaitForNextTickAsync())
        {
            try
            {
                // Sooner Azure.Identity may return the same one: it keeps a token until that has
                // less than five minutes left.
                if (_current.ExpiresOn - DateTimeOffset.UtcNow < TimeSpan.FromMinutes(4))
                {
                    _current = await FetchAsync(_credential);
                }
                var next = _current;
                if (next != signedIn)
                {
                    // Throws if the multiplexer was disposed of, which ends this.
                    await redis.GetDatabase().PingAsync();
                    var connected = redis.GetServers().Where(server => server.IsConnected);
                    await Task.WhenAll(connected.Select(
                        server => server.ExecuteAsync("AUTH", next.User, next.Token)));
                    signedIn = next;
                }
            }
            catch (ObjectDisposedException)
            {
                return;
            }
            catch (Exception e)
            {
                Console.Error.WriteLine($"Not signed in again yet: {e.Message}");
            }
        }
    }

    private static async Task<SignIn> FetchAsync(TokenCredential credential)
    {
        var token = await credential.GetTokenAsync(Request, CancellationToken.None);
        // The user name is the object id of the identity, which the token names.
        using var claims = JsonDocument.Parse(Base64Url.DecodeFromChars(token.Token.Split('.')[1]));
        var objectId = claims.RootElement.GetProperty("oid").GetString()!;
        return new SignIn(objectId, token.Token, token.ExpiresOn);
    }

    private sealed record SignIn(string User, string Token, DateTimeOffset ExpiresOn);
}
// ANCHOR_END: shown
