//! The signals that stop a server.

/// Completes at SIGTERM or Ctrl-C; elsewhere than on Unix at Ctrl-C.
///
/// [`Server::serve`](crate::Server::serve) waits for it by itself; this is for programs that drain
/// [`Sockets`](crate::service::Sockets) inside another server.
///
/// # Cancel safety
///
/// Dropped before it is ready, it can be called again. From the first call on these signals no
/// longer end the process by themselves.
pub async fn shutdown_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    () = interrupted() => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "SIGTERM cannot be watched; only Ctrl-C stops the server");
                interrupted().await;
            }
        }
    }
    #[cfg(not(unix))]
    interrupted().await;
}

async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "Ctrl-C cannot be watched");
        std::future::pending::<()>().await;
    }
}
