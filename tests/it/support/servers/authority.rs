//! [`Authority`]: a certificate authority of the test's own, and a certificate of `localhost` that
//! it has signed.

use std::process::Command;

use super::process::Folder;
use super::redis::RedisOptions;

/// Made by `openssl`. The files are removed with this.
#[derive(Debug)]
pub(crate) struct Authority(Folder);

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self(Folder::new("tls"));
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign \
             -keyout authority.key -out authority.pem",
        );
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=server \
             -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
             -CA authority.pem -CAkey authority.key -keyout server.key -out server.pem",
        );
        authority
    }

    /// The PEM file by which it is trusted.
    pub(crate) fn file(&self) -> String {
        self.path("authority.pem")
    }

    /// A Redis that speaks TLS at this port, as `localhost`.
    pub(crate) fn server(&self, port: u16) -> RedisOptions {
        let (key, certificate) = (self.path("server.key"), self.path("server.pem"));
        RedisOptions::new()
            .line(&format!("tls-port {port}\ntls-auth-clients no"))
            .line(&format!("tls-key-file {key}\ntls-cert-file {certificate}"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn openssl(&self, arguments: &str) {
        let mut openssl = Command::new("openssl");
        openssl.args(arguments.split_whitespace());
        let made = openssl.current_dir(self.0.path()).output().unwrap();
        assert!(made.status.success(), "openssl {arguments}: {made:?}");
    }
}
