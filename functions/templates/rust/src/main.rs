use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or("8080".to_owned()).parse()?;
    let app = Router::new().route("/", get(async || hello("world")).post(async |body: String| hello(&body)));
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    println!("listens on port {port}");
    axum::serve(listener, app).await?;
    Ok(())
}

fn hello(name: &str) -> String {
    format!("Hello, {name}! This is Rust.\n")
}
