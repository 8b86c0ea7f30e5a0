//! [`Fallback`]: the HTTP service that answers what is no WebSocket route, its type erased.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use tower_service::Service;

use crate::error::{BoxError, chain};
use crate::sampler::{LogSampler, sampled};
use crate::service::Body;

/// The service that answers plain HTTP on the same port. A clone per request, as `Service::call`
/// wants it.
#[derive(Clone)]
pub(super) struct Fallback(
    Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>,
);

impl Fallback {
    pub(super) fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let log = Arc::new(LogSampler::new());
        Self(Arc::new(move |request| {
            answer(service.clone(), request, log.clone()).boxed()
        }))
    }

    pub(super) fn call(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        (self.0)(request)
    }
}

async fn answer<S, B>(
    mut service: S,
    request: Request<Body>,
    log: Arc<LogSampler>,
) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let ready = poll_fn(|cx| service.poll_ready(cx))
        .await
        .map_err(Into::into);
    let result = match ready {
        Ok(()) => service.call(request).await.map_err(Into::into),
        Err(error) => Err(error),
    };
    match result {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            let error: BoxError = error;
            sampled!(
                log,
                error,
                "fallback_failed",
                error = chain(&*error),
                "the fallback service failed"
            );
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}
