SELECT name, orders, revenue FROM reports.revenue_per_customer ORDER BY customer;
SELECT city, orders, revenue FROM reports.revenue_per_city ORDER BY city;
