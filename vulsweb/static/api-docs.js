// Starts Swagger UI on /api/docs; "Try it out" then acts as the person who is signed in.
(() => {
  "use strict";
  const place = document.getElementById("api-docs");
  SwaggerUIBundle({
    domNode: place,
    url: place.dataset.document,
    deepLinking: true,
    validatorUrl: null,
    requestInterceptor: (request) => {
      if (!["GET", "HEAD"].includes((request.method || "GET").toUpperCase())) {
        request.headers["X-CSRFToken"] = place.dataset.csrfToken;
      }
      return request;
    },
  });
})();
