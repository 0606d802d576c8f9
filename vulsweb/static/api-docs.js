// Starts Swagger UI on /api/docs; "Try it out" sends requests as the signed-in user.
(() => {
  "use strict";
  const container = document.getElementById("api-docs");
  SwaggerUIBundle({
    domNode: container,
    url: container.dataset.document,
    deepLinking: true,
    validatorUrl: null,
    requestInterceptor: (request) => {
      if (!["GET", "HEAD"].includes((request.method || "GET").toUpperCase())) {
        request.headers["X-CSRFToken"] = container.dataset.csrfToken;
      }
      return request;
    },
  });
})();
